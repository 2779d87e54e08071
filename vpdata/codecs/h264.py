"""H.264 in mp4: RGB frames in, the bytes of one mp4 out, and back.

    frame   0 1 2 3 4 5 6 7 8 9 …           24 … 32 33
            I b b b b b b b P b b b b b b b P  …  P  I

Every eighth frame is a reference (P, made from the one before), every 33rd a key frame (I). The seven between two
references are made from those two, and no frame from them. So a window decodes the references that it spans and those
of its frames that lie between, at any start and stride. Chroma is halved (4:2:0), which is why the codec promises a
PSNR and not equality. `docs/CODECS.md` compares other layouts.
"""

from vpdata.codecs.colour import tag_colour
from vpdata.codecs.container import Format
from vpdata.codecs.mp4_video import Mp4Video

FORMAT = Format(
    container="mp4",
    encoder="libx264",
    pixel_format="yuv420p",
    options={
        "preset": "veryfast",
        "tune": "psnr,fastdecode",
        # A constant quantizer: every frame alike, whatever moves. Rate control (crf) had worse worst frames at equal
        # size, and its mbtree reads beyond its rows where the width is no multiple of 128: other bytes in every run.
        "qp": "20",
        "x264-params": "keyint=33:min-keyint=33:scenecut=0:bframes=7:b-adapt=0:b-pyramid=none:8x8dct=0",
    },
    prepare=tag_colour,
)


class H264(Mp4Video):
    """The default codec: small, fast to decode, not lossless."""

    name = "h264"
    form = FORMAT
    min_psnr_db = 32.0  # the worst frame of our recordings: 32.3 dB at 64x64, 35.0 dB from 128x128


CODEC = H264()
