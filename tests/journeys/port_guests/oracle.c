/* A service that knows the weather without asking anybody. */
#define EH_IMPLEMENTATION
#include "edgehost.h"

EH_EXPORT(get) {
  eh_input();
  return eh_output(eh_text_of("{\"ok\":{\"json\":{\"temperature\":20}}}"));
}

EH_EXPORT(weak) {
  eh_input();
  return eh_output(eh_text_of("{\"error\":{\"code\":\"unavailable\",\"message\":\"clouds\"}}"));
}
