/* The budgets of the board that this is compiled for, and what follows from them. */
#ifndef BOARD_H
#define BOARD_H

#include BOARD_FILE

#define FIRMWARE_VERSION "0.1.0"

/* Longest path of a request, with its options' heads: /call/NAME/NAME. */
#define PATH_BYTES 140u

/* Events that are kept until they are told; their document has to hold them. */
#define EVENT_BYTES (DOCUMENT_BYTES / 2u)

#define BLOCK_BYTES (16u << BLOCK_SZX)
#define FLASH_BYTES ((2u * FLASH_SECTOR) + (2u * (FLASH_SECTOR + SLOT_BYTES)))

#endif
