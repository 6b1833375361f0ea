/* What one call of a guest may spend: steps, time and C stack. */
#ifndef GUEST_BUDGET_H
#define GUEST_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define STEPS_PER_LOOK 256u /* how often the clock is read */

extern uint32_t guest_steps_left; /* until the next look at the clock */
extern uintptr_t guest_stack_end;

void guest_budget_begin(uint32_t steps, uint32_t deadline_ms);
bool guest_out_of_budget(void);
const char *guest_stop_reason(void);
uint32_t guest_steps_taken(void);

static inline bool guest_stack_low(void) { return (uintptr_t)__builtin_frame_address(0) < guest_stack_end; }

/* True when the call has to end. */
static inline bool guest_step(void) {
  guest_steps_left--;
  return (guest_steps_left == 0u && guest_out_of_budget()) || guest_stack_low();
}

#endif
