/* The same as a NCCL that does not tell the buffers of its windows, as before 2.29.2. */
#define OWN_ncclWinGetUserPtr 1
#define OWN_pncclWinGetUserPtr 1
#include "bridge_recorder.c"
