/* Arm MPS2 with a Cortex-M7 (4 MB RAM), as qemu has it; see lm3s6965evb.h about its flash. */
#define BOARD_NAME "mps2-an500"
#define BOARD_CORE "cortex-m7"
#include "boards/mps2.h"
