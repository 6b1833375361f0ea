/* BBC micro:bit (nRF51822, Cortex-M0, 16 KB RAM, 256 KB flash). Components are kept in its own flash; no floats.
 * What the engine makes of a component has to fit 6.5 KB: some hundred bytes of code, and little memory. */
#define BOARD_NAME "microbit"
#define BOARD_CORE "cortex-m0"
#define WASM_FLOAT 0
#define FLASH_SECTOR 1024u
#define SLOT_BYTES (16u * 1024u)
#define ARENA_BYTES 6656u
#define LINEAR_MEMORY_BYTES 1024u
#define WASM_STACK_BYTES 512u
#define EXCHANGE_BYTES 512u
#define VARIABLE_BYTES 64u
#define BODY_BYTES 512u
#define DOCUMENT_BYTES 320u
#define LOG_BYTES 192u
#define BLOCK_SZX 3u
#define CALL_STEPS 500000u
#define CALL_MS 1000u
