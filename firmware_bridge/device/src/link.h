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

#endif
