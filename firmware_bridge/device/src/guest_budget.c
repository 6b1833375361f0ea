#include "guest_budget.h"

#include "port.h"

uint32_t guest_steps_left = STEPS_PER_LOOK;
uintptr_t guest_stack_end;

static uint32_t looks_left, looks_given, started_ms, most_ms;
static bool spent;

void guest_budget_begin(uint32_t steps, uint32_t deadline_ms) {
  guest_steps_left = STEPS_PER_LOOK;
  guest_stack_end = port_stack_floor();
  looks_given = (steps / STEPS_PER_LOOK) + 1u;
  looks_left = looks_given;
  started_ms = port_millis();
  most_ms = deadline_ms;
  spent = false;
}

bool guest_out_of_budget(void) {
  guest_steps_left = STEPS_PER_LOOK;
  if (looks_left > 0u) {
    looks_left--;
  }
  spent = looks_left == 0u || port_millis() - started_ms >= most_ms;
  if (spent) {
    guest_steps_left = 1; /* whatever the engine does next, the next step ends it too */
  }
  return spent;
}

const char *guest_stop_reason(void) {
  return spent ? "[trap] the call's budget is spent" : "[trap] the C stack is exhausted";
}

uint32_t guest_steps_taken(void) {
  uint32_t whole = (looks_given - looks_left) * STEPS_PER_LOOK;
  return whole + (STEPS_PER_LOOK - guest_steps_left);
}
