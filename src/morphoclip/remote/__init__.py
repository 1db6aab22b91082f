"""Files on other machines: listed, read whole, and copied to this one."""
