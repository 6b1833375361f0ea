/* The line: frames in, frames out. */
#ifndef LINK_H
#define LINK_H

#include <stdbool.h>

#include "cbor.h"

void link_start(void);

/* The next CoAP message that has come, valid until the next call; false when there is none. */
bool link_receive(span *message);

void link_send_message(const uint8_t *message, uint32_t size);
void link_send_text(const uint8_t *text, uint32_t size);
uint32_t link_bad_frames(void);

#define STANDARD_BAUD 115200u

uint32_t link_baud(void);

/* Whether the board can have this rate; the change is made at the next link_tick, when the answer is out. */
bool link_ask_baud(uint32_t baud);

/* Changes the rate that was asked for. A rate at which no message comes for three seconds is given up. */
void link_tick(void);

#endif
