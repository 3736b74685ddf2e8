"""From captions to word ids."""
