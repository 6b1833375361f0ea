/* The Extism ABI on a device: input, output, error, config, variables, log; and of the host's functions `readings`. */
#ifndef EXTISM_H
#define EXTISM_H

#include "cbor.h"
#include "wasm3.h"

/* Gives the module the functions that it imports. NULL or what is wrong. */
const char *extism_link(IM3Module module);

/* A component was loaded: its specification holds the configuration, and variables begin empty. */
void extism_loaded(span spec);

/* Before a call. False when the input does not fit. */
bool extism_call_begins(const uint8_t *input, uint32_t size);

span extism_output(void);
span extism_error(void);

#endif
