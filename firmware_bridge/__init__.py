"""The microcontroller side: slipmux and CoAP frames, sans I/O."""
