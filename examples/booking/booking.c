/* A model that needs no code: schema and access say all. */
#define EH_ARENA 1024
#define EH_IMPLEMENTATION
#include "edgehost.h"

EH_EXPORT(healthy) {
  eh_input();
  return eh_output(eh_text_of("{}"));
}
