/* A plugin that was built with the SONAME of a NCCL. */
#include "plugin.c"
