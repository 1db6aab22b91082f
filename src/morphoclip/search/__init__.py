"""Questions to profiles: what is most similar, how far from controls, and by what chance."""
