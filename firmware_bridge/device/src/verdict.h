/* What was decided, as the host is told it: a CoAP code and a text whose first word is stable (PROTOCOL.md). */
#ifndef VERDICT_H
#define VERDICT_H

#include <stdint.h>

#include "coap.h"

typedef struct {
  uint8_t code;    /* 0: nothing against it */
  const char *why; /* "word: text" */
} verdict;

#define ACCEPTED ((verdict){0, ""})
#define REFUSED(code, why) ((verdict){(uint8_t)(code), (why)})

#endif
