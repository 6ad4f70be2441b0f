/* As linked_create, but linked with a NCCL that has no SONAME (Makefile). */
#include "linked_create.c"
