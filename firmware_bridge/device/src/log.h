/* The firmware's and the guest's words: sent as diagnostic text, and the last of them kept for /log. */
#ifndef LOG_H
#define LOG_H

#include "cbor.h"

void log_text(span line);
void log_word(const char *line);

/* The lines that are kept, oldest first, as one text; `number` counts the lines ever written. */
span log_kept(uint32_t *number);

/* Writes `format`, in which each %u stands for the next of two numbers; returns the size. */
uint32_t log_format(char *text, uint32_t room, const char *format, uint32_t first, uint32_t second);

#endif
