/* The component that runs: loaded from flash, called, and put back in order after a trap. */
#ifndef RUNNER_H
#define RUNNER_H

#include "verdict.h"

/* Loads the module and makes the probe call that its specification names. On a refusal nothing is loaded. The bytes
 * must stay where they are while it runs. */
verdict runner_load(const uint8_t *wasm, uint32_t size, uint32_t memory_bytes);

void runner_unload(void);
bool runner_loaded(void);

/* Calls an export. `*output` is valid until the next call. A refusal of the guest is COAP_UNPROCESSABLE with its own
 * text in `*output`. */
verdict runner_call(span function, const uint8_t *input, uint32_t size, span *output);

/* Whether the module has such an export. */
bool runner_has(const char *function);

typedef struct {
  uint32_t calls, faults, steps, reloads;
} runner_figures;

const runner_figures *runner_count(void);

#endif
