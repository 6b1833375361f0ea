/* A model that leaves most to what it declares; its exports are the parts that only code can give. */
#define EH_IMPLEMENTATION
#include "edgehost.h"

static int32_t say_value(eh_text before, eh_text value) {
  eh_writer out = eh_writer_of(512);
  eh_write(&out, "{\"value\":\"");
  eh_write_text(&out, before);
  eh_write_text(&out, value);
  eh_write(&out, "\"}");
  return eh_output(eh_written(&out));
}

/* The factory: a person in two parts becomes one name. */
EH_EXPORT(make) {
  eh_text data = eh_member(eh_input(), "data"), name, value;
  eh_text first = eh_string(eh_member(data, "first")), last = eh_string(eh_member(data, "last"));
  if (!last.size) return eh_fail("last is missing");
  eh_writer out = eh_writer_of(4096);
  eh_write(&out, "{\"data\":{\"name\":\"");
  eh_write_text(&out, first);
  eh_write(&out, " ");
  eh_write_text(&out, last);
  eh_write(&out, "\"");
  for (uint32_t at = 0; eh_next_member(data, &at, &name, &value);) {
    if (eh_same(name, "first") || eh_same(name, "last")) continue;
    eh_write(&out, ",");
    eh_write_string(&out, name);
    eh_write(&out, ":");
    eh_write_text(&out, value);
  }
  eh_write(&out, "}}");
  return eh_output(eh_written(&out));
}

/* computed: once, from the id */
EH_EXPORT(number) {
  return say_value(eh_text_of("K-"), eh_string(eh_member(eh_input(), "id")));
}

/* updated: how often it changed */
EH_EXPORT(count) {
  double times = 0;
  eh_number(eh_member(eh_member(eh_input(), "previous"), "changed"), &times);
  eh_writer out = eh_writer_of(64);
  eh_write(&out, "{\"value\":");
  eh_write_number(&out, times + 1, 0);
  eh_write(&out, "}");
  return eh_output(eh_written(&out));
}

/* Every text of a list of plain texts with `before` in front, or without its first `dropped` characters, or cut. */
static int32_t each_text(const char *before, uint32_t dropped, uint32_t kept) {
  eh_text values = eh_member(eh_input(), "values");
  eh_writer out = eh_writer_of(values.size * 4 + 64);
  eh_write(&out, "{\"values\":");
  uint32_t within = 0, seen = 0;
  for (uint32_t i = 0; i < values.size; i++) {
    eh_text character = {values.at + i, 1};
    if (*character.at == '"') {
      within = !within, seen = 0;
      eh_write_text(&out, character);
      if (within) eh_write(&out, before);
    } else if (!within) {
      eh_write_text(&out, character);
    } else if (++seen > dropped && seen <= kept) {
      eh_write_text(&out, character);
    }
  }
  eh_write(&out, "}");
  return eh_output(eh_written(&out));
}

EH_EXPORT(pack) { return each_text("packed ", 0, 1000); }
EH_EXPORT(unpack) { return each_text("", 7, 1000); }
EH_EXPORT(coarse) { return each_text("", 0, 2); }
