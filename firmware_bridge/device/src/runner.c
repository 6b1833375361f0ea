#include "runner.h"

#include <string.h>

#include "arena.h"
#include "board.h"
#include "extism.h"
#include "guest_budget.h"
#include "log.h"
#include "manifest.h"
#include "module.h"

#include "wasm3.h"

#include "m3_env.h" /* memoryLimit has no function of its own */

#define PAGE_BYTES 65536u

static IM3Environment environment;
static IM3Runtime runtime;
static const uint8_t *own_wasm;
static uint32_t own_size, own_memory;
static runner_figures figures;

const runner_figures *runner_count(void) { return &figures; }

bool runner_loaded(void) { return runtime != NULL; }

void runner_unload(void) {
  /* Everything of the engine lives in the arena; nothing has to be freed piece by piece. */
  environment = NULL;
  runtime = NULL;
  own_wasm = NULL;
  arena_empty();
}

static verdict engine_refuses(M3Result why) {
  if (arena_refused() != 0u) {
    char line[80];
    uint32_t size = log_format(line, sizeof line, "memory: %u bytes of the engine's are in use, %u more were wanted",
                               arena_used(), arena_refused());
    log_text((span){.at = (const uint8_t *)line, .size = size});
    return REFUSED(COAP_TOO_LARGE, "memory: the component does not fit into the engine's memory");
  }
  static char text[96];
  static const char HEAD[] = "engine: ";
  (void)memcpy(text, HEAD, sizeof HEAD);
  (void)strncat(text, why, sizeof text - sizeof HEAD);
  return REFUSED(COAP_UNPROCESSABLE, text);
}

static verdict find(const char *name, IM3Function *function) {
  M3Result result = m3_FindFunction(function, runtime, name);
  if (result == m3Err_functionLookupFailed) {
    return REFUSED(COAP_NOT_FOUND, "export: the component has no such export");
  }
  if (result != m3Err_none) {
    return engine_refuses(result);
  }
  bool fits = m3_GetArgCount(*function) == 0u &&
              (m3_GetRetCount(*function) == 0u ||
               (m3_GetRetCount(*function) == 1u && m3_GetRetType(*function, 0) == c_m3Type_i32));
  return fits ? ACCEPTED : REFUSED(COAP_UNPROCESSABLE, "export: it does not take nothing and return i32");
}

/* All of it at once: what does not compile or fit is found before the release counts, and no call waits for it. */
static M3Result compile_all(IM3Module module) {
  M3Result result = m3Err_none;
  for (uint32_t i = 0; i < module->numFunctions && result == m3Err_none; i++) {
    IM3Function function = &module->functions[i];
    if (function->wasm != NULL && function->compiled == NULL) {
      result = CompileFunction(function);
    }
  }
  return result;
}

/* The engine would run it at an odd time, and never when its index is 0. */
static verdict run_start(uint32_t index) {
  IM3Module module = runtime->modules;
  if (index >= module->numFunctions) {
    return REFUSED(COAP_UNPROCESSABLE, "module: its start function is none");
  }
  IM3Function function = &module->functions[index];
  if (function->compiled == NULL || m3_GetArgCount(function) != 0u || m3_GetRetCount(function) != 0u) {
    return REFUSED(COAP_UNPROCESSABLE, "module: its start function is none");
  }
  (void)extism_call_begins(NULL, 0);
  guest_budget_begin(CALL_STEPS, CALL_MS);
  M3Result result = m3_Call(function, 0, NULL);
  return result == m3Err_none ? ACCEPTED : engine_refuses(result);
}

static verdict load(void) {
  IM3Module module = NULL;
  module_outline outline;
  verdict sound = module_require_sound(own_wasm, own_size, &outline);
  if (sound.code != 0u) {
    return sound;
  }
  guest_budget_begin(CALL_STEPS, CALL_MS);
  arena_empty();
  environment = m3_NewEnvironment();
  if (environment == NULL) {
    return REFUSED(COAP_TOO_LARGE, "memory: the engine itself does not fit");
  }
  runtime = m3_NewRuntime(environment, WASM_STACK_BYTES, NULL);
  if (runtime == NULL) {
    return REFUSED(COAP_TOO_LARGE, "memory: the engine itself does not fit");
  }
  runtime->memoryLimit = own_memory;
  M3Result result = m3_ParseModule(environment, &module, own_wasm, own_size);
  if (result != m3Err_none) {
    return engine_refuses(result);
  }
  /* A guest that grows its memory is told no, instead of finding out at the next access. */
  uint32_t most_pages = own_memory / PAGE_BYTES;
  module->memoryInfo.maxPages = outline.pages > most_pages ? outline.pages : most_pages;
  result = m3_LoadModule(runtime, module);
  if (result != m3Err_none) {
    return engine_refuses(result);
  }
  const char *wrong = extism_link(module);
  if (wrong != NULL) {
    return engine_refuses(wrong);
  }
  result = compile_all(module);
  if (result != m3Err_none) {
    return engine_refuses(result);
  }
  extism_loaded(outline.spec);
  module->startFunction = 0; /* for the engine that is none */
  return outline.start == NO_START ? ACCEPTED : run_start(outline.start);
}

/* The initialisation that toolchains leave in a module, in the order in which the host looks for it. */
static verdict initialise(void) {
  static const char *const NAMES[] = {"__wasm_call_ctors", "_initialize"};
  for (uint32_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
    if (runner_has(NAMES[i])) {
      IM3Function function = NULL;
      verdict found = find(NAMES[i], &function);
      if (found.code != 0u) {
        return found;
      }
      (void)extism_call_begins(NULL, 0);
      guest_budget_begin(CALL_STEPS, CALL_MS);
      M3Result result = m3_Call(function, 0, NULL);
      return result == m3Err_none ? ACCEPTED : engine_refuses(result);
    }
  }
  return ACCEPTED;
}

static verdict call(const char *name, const uint8_t *input, uint32_t size, span *output) {
  IM3Function function = NULL;
  int32_t status = 0;
  const void *results[1] = {&status};
  guest_budget_begin(CALL_STEPS, CALL_MS); /* finding an export compiles it */
  verdict found = find(name, &function);
  if (found.code != 0u) {
    return found;
  }
  if (!extism_call_begins(input, size)) {
    return REFUSED(COAP_TOO_LARGE, "input: it is larger than the exchange memory");
  }
  M3Result result = m3_Call(function, 0, NULL);
  figures.steps += guest_steps_taken();
  if (result != m3Err_none) {
    return strstr(result, "budget") != NULL ? REFUSED(COAP_TIMEOUT, "budget: the call took too long and was stopped")
                                            : REFUSED(COAP_SERVER_ERROR, result);
  }
  if (m3_GetRetCount(function) == 1u) {
    (void)m3_GetResults(function, 1, results);
  }
  *output = extism_error();
  if (output->size != 0u || status != 0) {
    return REFUSED(COAP_UNPROCESSABLE, "refused: the component refused the input");
  }
  *output = extism_output();
  return ACCEPTED;
}

static verdict start(void) {
  span output = {0};
  verdict result = load();
  if (result.code == 0u) {
    result = initialise();
  }
  if (result.code == 0u) {
    module_outline outline;
    char name[NAME_BYTES + 1u] = {0};
    (void)module_require_sound(own_wasm, own_size, &outline);
    span probe = module_text(outline.spec, "probe", "export", 6);
    span input = module_text(outline.spec, "probe", "input", 5);
    if (probe.size > NAME_BYTES) {
      result = REFUSED(COAP_UNPROCESSABLE, "probe: its name is too long");
    } else if (probe.size != 0u) {
      (void)memcpy(name, probe.at, probe.size);
      result = call(name, input.at, input.size, &output);
    } else {
      /* a component without a probe has only to load */
    }
  }
  if (result.code != 0u) {
    runner_unload();
  }
  return result;
}

verdict runner_load(const uint8_t *wasm, uint32_t size, uint32_t memory_bytes) {
  runner_unload();
  own_wasm = wasm;
  own_size = size;
  own_memory = memory_bytes;
  return start();
}

bool runner_has(const char *function) { return runtime != NULL && ForEachModule(runtime, (ModuleVisitor)v_FindFunction, (void *)(uintptr_t)function) != NULL; }

verdict runner_call(span function, const uint8_t *input, uint32_t size, span *output) {
  char name[NAME_BYTES + 1u] = {0};
  *output = (span){0};
  if (runtime == NULL) {
    return REFUSED(COAP_UNAVAILABLE, "component: none is running");
  }
  if (function.size > NAME_BYTES) {
    return REFUSED(COAP_NOT_FOUND, "export: the component has no such export");
  }
  (void)memcpy(name, function.at, function.size);
  figures.calls++;
  verdict result = call(name, input, size, output);
  bool fault = result.code == (uint8_t)COAP_SERVER_ERROR || result.code == (uint8_t)COAP_TIMEOUT;
  if (fault) {
    /* What a trapped instance holds cannot be relied on: it begins anew. */
    const uint8_t *wasm = own_wasm;
    uint32_t wasm_size = own_size, memory_bytes = own_memory;
    figures.faults++;
    figures.reloads++;
    log_word(result.why);
    if (runner_load(wasm, wasm_size, memory_bytes).code != 0u) {
      log_word("component: it does not start again after the fault");
    }
  }
  return result;
}
