/* The memory that guest and firmware hand each other blocks in, apart from the guest's linear memory (as Extism has
 * it). Emptied before each call. Offset 0 is no block. */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include <stdbool.h>

#include "cbor.h"

void exchange_empty(void);
uint64_t exchange_alloc(uint64_t size); /* 0: there is no room */
void exchange_free(uint64_t offset);    /* ignores what is no block */
uint64_t exchange_length(uint64_t offset);
uint64_t exchange_put(const uint8_t *bytes, uint32_t size); /* a new block that holds the bytes; 0 for no bytes */
bool exchange_block(uint64_t offset, span *content);        /* false for what is no block */
bool exchange_range(uint64_t offset, uint64_t size);        /* whether it lies inside */
uint8_t *exchange_at(uint64_t offset);

#endif
