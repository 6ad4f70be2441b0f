/* linked_version with a RUNPATH that leads to the folder "own" beside it (Makefile). */
#include "linked_version.c"
