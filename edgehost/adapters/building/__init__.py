"""Building components on the author's machine: the folder they are made from and the tools that make them."""
