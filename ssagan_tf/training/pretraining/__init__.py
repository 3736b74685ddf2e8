"""DAMSM: text and image encoder learn which captions fit which pictures, before a GAN does or as a run of their own."""
