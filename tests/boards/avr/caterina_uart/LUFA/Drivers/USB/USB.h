/* In the place of LUFA: Caterina's bulk pipes are the second UART, since simavr has no USB.
 * What answers the commands is Arduino's own Caterina.c, unchanged. */
#ifndef CATERINA_UART_USB_H
#define CATERINA_UART_USB_H

#include <avr/io.h>
#include <avr/pgmspace.h>
#include <stdbool.h>
#include <stdint.h>

#define ATTR_NO_RETURN __attribute__((noreturn))
#define UART_BAUD 57600UL

#define DEVICE_STATE_Unattached 0
#define USB_DeviceState 4
#define CDC_LINEENCODING_OneStopBit 0
#define CDC_PARITY_None 0
#define CDC_REQ_GetLineEncoding 0x21
#define CDC_REQ_SetLineEncoding 0x20
#define CONTROL_REQTYPE_TYPE 0x60
#define CONTROL_REQTYPE_RECIPIENT 0x1F
#define REQTYPE_CLASS (1 << 5)
#define REQREC_INTERFACE 1
#define REQDIR_DEVICETOHOST (1 << 7)
#define REQDIR_HOSTTODEVICE 0

typedef struct {
  uint32_t BaudRateBPS;
  uint8_t CharFormat, ParityType, DataBits;
} CDC_LineEncoding_t;

static struct {
  uint8_t bmRequestType, bRequest;
} USB_ControlRequest;
static uint8_t selected_pipe;

static inline void USB_Init(void) {
  UBRR1 = F_CPU / 8 / UART_BAUD - 1;
  UCSR1A = 1 << U2X1;
  UCSR1B = (1 << RXEN1) | (1 << TXEN1);
}
#define USB_USBTask() ((void)0)
#define USB_Detach() ((void)0)

static inline bool uart_holds(void) { return UCSR1A & (1 << RXC1); }

#define Endpoint_SelectEndpoint(pipe) (selected_pipe = (pipe))
#define Endpoint_IsOUTReceived() uart_holds()
#define Endpoint_IsReadWriteAllowed() (selected_pipe == CDC_TX_EPNUM || uart_holds())
#define Endpoint_IsINReady() true
#define Endpoint_ClearIN() ((void)0)
#define Endpoint_ClearOUT() ((void)0)
#define Endpoint_ClearSETUP() ((void)0)
#define Endpoint_Read_8() UDR1
#define Endpoint_ConfigureEndpoint(...) ((void)0)
#define Endpoint_Write_Control_Stream_LE(...) ((void)0)
#define Endpoint_Read_Control_Stream_LE(...) ((void)0)

static inline void Endpoint_Write_8(uint8_t byte) {
  while (!(UCSR1A & (1 << UDRE1))) {
  }
  UDR1 = byte;
}

#endif
