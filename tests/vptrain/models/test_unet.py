import torch
from diffusers import UNetSpatioTemporalConditionModel

from vptrain.models.policy import VideoPolicy
from vptrain.models.unet import TAPS, VideoUNet


def inputs(batch: int = 2, frames: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(batch, frames, 8, 8, 8, generator=generator),
        torch.randn(batch, generator=generator),
        torch.randn(batch, frames, 16, generator=generator),
        torch.tensor([6.0, 100.0, 0.02]).expand(batch, -1),
    )


@torch.no_grad()
def test_it_computes_what_diffusers_computes(policy: VideoPolicy) -> None:
    latents, c_noise, text, ids = inputs()
    text = text[:, :1].expand(-1, 7, -1)  # diffusers takes one text a window
    theirs = UNetSpatioTemporalConditionModel.from_config(dict(policy.unet.config))
    theirs.load_state_dict(policy.unet.state_dict())
    VideoUNet.use_reference_epsilon(theirs)
    expected = theirs(latents, c_noise, text[:, :1], ids).sample
    got = policy.unet.denoise(latents, c_noise, text_BTE=text, ids_BI=ids).video_BTCHW
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_features_are_tapped_at_their_resolutions(policy: VideoPolicy) -> None:
    latents, c_noise, text, ids = inputs()
    features = policy.unet.denoise(latents, c_noise, text_BTE=text, ids_BI=ids).features
    sizes = {tap: tuple(feature.shape) for tap, feature in features.items()}
    assert sizes == {tap: (14, 32, size, size) for tap, size in zip(TAPS, (1, 1, 2, 4, 8), strict=True)}


@torch.no_grad()
def test_windows_of_a_batch_do_not_see_each_other(policy: VideoPolicy) -> None:
    latents, c_noise, text, ids = inputs()
    both = policy.unet.denoise(latents, c_noise, text_BTE=text, ids_BI=ids).video_BTCHW
    alone = policy.unet.denoise(latents[1:], c_noise[1:], text_BTE=text[1:], ids_BI=ids[1:]).video_BTCHW
    torch.testing.assert_close(both[1:], alone, atol=1e-3, rtol=0)
    assert (both[1:] - both[:1]).abs().max() > 0.1
