"""Pictures for people: sheets with captions under the pictures, masks laid over them, strips and films.

Pictures are uint8 (B, H, W, 3) arrays; sheets are RGB `PIL.Image.Image`s.
"""

from ssagan_tf.pictures.encoding import gif_bytes, png_bytes, save_png
from ssagan_tf.pictures.masks import heat_map, mask_overlay
from ssagan_tf.pictures.range import to_uint8
from ssagan_tf.pictures.sheets import attention_sheet, caption_grid, grid, mask_sheet, strip

__all__ = [
    "attention_sheet",
    "caption_grid",
    "gif_bytes",
    "grid",
    "heat_map",
    "mask_overlay",
    "mask_sheet",
    "png_bytes",
    "save_png",
    "strip",
    "to_uint8",
]
