"""Stands in for MuJoCo: a `Renderer` whose picture is the hand's position, and a context that can always be made."""

import numpy as np

DOWN = {"corner"}  # cameras that hang upside down


class GLContext:
    def __init__(self, width, height):
        pass

    def make_current(self):
        pass

    def free(self):
        pass


class Renderer:
    """Left half: the hand's x; right half: its y; the topmost row, as the camera holds it, is white."""

    def __init__(self, model, height, width):  # noqa: ARG002
        self._size = (height, width)

    def update_scene(self, data, *, camera):
        self._camera, self._hand = camera, data.hand

    def render(self):
        height, width = self._size
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[:, : width // 2, 0] = round(self._hand[0] * 100) % 256
        pixels[:, width // 2 :, 1] = round(self._hand[1] * 100) % 256
        pixels[0] = 255
        return pixels[::-1, ::-1] if self._camera in DOWN else pixels

    def close(self):
        pass
