"""The forked processes: the zygote, what a sandbox gives up, and how it answers calls."""
