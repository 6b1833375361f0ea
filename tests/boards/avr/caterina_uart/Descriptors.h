/* In the place of Caterina's USB descriptors: which pipe is which, and the chip's signature. */
#ifndef CATERINA_UART_DESCRIPTORS_H
#define CATERINA_UART_DESCRIPTORS_H

#define CDC_TX_EPNUM 3
#define CDC_RX_EPNUM 4
#define CDC_NOTIFICATION_EPNUM 2
#define CDC_TXRX_EPSIZE 16
#define CDC_NOTIFICATION_EPSIZE 8
#define AVR_SIGNATURE_1 SIGNATURE_0
#define AVR_SIGNATURE_2 SIGNATURE_1
#define AVR_SIGNATURE_3 SIGNATURE_2

#endif
