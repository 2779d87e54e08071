"""A world whose picture is its time, in control steps; the topmost row is white, and stored last as OpenGL has it."""

import numpy as np


class OffScreenRenderEnv:
    language_instruction = "do as LIBERO says"

    def __init__(self, *, camera_names, camera_heights, camera_widths, **kwargs):  # noqa: ARG002
        self._cameras, self._size = camera_names, (camera_heights, camera_widths)
        self.sim = self

    def seed(self, seed):
        pass

    def reset(self):
        pass

    def reset_from_xml_string(self, xml):
        self._xml = xml

    def regenerate_obs_from_state(self, state):
        assert "/libero/libero/assets/" in self._xml
        assert "/home/" not in self._xml
        self._state = state
        pixels = np.zeros((*self._size, 3), np.uint8)
        pixels[:] = round(state[0] * 20)
        pixels[-1] = 255
        images = {f"{camera}_image": pixels for camera in self._cameras}
        return {
            "robot0_eef_pos": state[1:4],
            "robot0_eef_quat": np.array([0.0, 0.0, 0.0, 1.0]),
            "robot0_gripper_qpos": state[8:10],
            **images,
        }

    def check_success(self):
        return self._state[0] >= 0.85

    def close(self):
        pass
