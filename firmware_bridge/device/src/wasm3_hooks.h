/* Included before every file of wasm3 (gcc -include): the engine's own sources stay as they are.
 *
 * - Memory comes from our arena, which is emptied as a whole.
 * - Each entry of a function and each turn of a loop is a step. wasm3 reaches the next operation by nextOpImpl() in
 *   just these two places once nextOpDirect() no longer uses it, so this stops a guest that loops for ever, whatever
 *   it calls, without a timer and on every processor alike.
 * - Where the compiler makes no tail calls (Thumb-1) each operation takes C stack, and each is checked.
 * - The engine's compiler recurses over nested blocks; it gives up before the C stack ends.
 */
#ifndef WASM3_HOOKS_H
#define WASM3_HOOKS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "arena.h"
#include "guest_budget.h"

#define calloc arena_calloc
#define realloc arena_realloc
#define free arena_free

#include "m3_exception.h"
#include "m3_exec_defs.h"
#include "wasm3.h"

#undef nextOpImpl
#undef nextOpDirect
#undef jumpOpDirect

#define PLAIN_OP(PC) ((IM3Operation)(*(PC)))((PC) + 1, d_m3OpArgs)

#define nextOpImpl() (guest_step() ? (m3ret_t)guest_stop_reason() : (m3ret_t)PLAIN_OP(_pc))

#if defined(__thumb__) && !defined(__thumb2__)
#define nextOpDirect() \
  return guest_stack_low() ? (m3ret_t)guest_stop_reason() : (m3ret_t)PLAIN_OP(_pc)
#define jumpOpDirect(PC) \
  return guest_stack_low() ? (m3ret_t)guest_stop_reason() : (m3ret_t)PLAIN_OP((pc_t)(PC))
#else
#define nextOpDirect() return PLAIN_OP(_pc)
#define jumpOpDirect(PC) return PLAIN_OP((pc_t)(PC))
#endif

#ifdef WASM3_COMPILER_FILE
#undef _try
#define _try _throwif("the C stack is too small for this module", guest_stack_low())
#endif

#ifdef WASM3_PARSER_FILE
/* After a failed parse the engine would free a module that it has not finished; the arena is emptied anyway. */
#define m3_FreeModule(module) ((void)(module))
#endif

#endif
