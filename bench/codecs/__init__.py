"""The rivals, and this project's own kinds, behind one interface: `codec.Codec`."""
