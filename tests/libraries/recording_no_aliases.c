/* The recording backend without pncclX. */
#define RECORDING_NO_TWINS
#include "recording.c"
