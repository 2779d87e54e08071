# Makes DIR/venv with what the loader is compared with: LeRobot 0.4.4 and torchvision, beside a CPU build of torch.
# May be run again; what is there stays. Never give the project's own .venv.
#
#     sh benchmarks/peers/setup.sh DIR
#
# LeRobot 0.4.4 asks for an older torch than its decoder works with here, so it comes without its dependencies and the
# needed ones follow by name. torchcodec reads through the shared libraries of FFmpeg (Debian: apt-get install ffmpeg).
set -eu
[ $# -eq 1 ] || { echo "usage: sh benchmarks/peers/setup.sh DIR" >&2; exit 2; }
venv=$1/venv
python=${PYTHON:-python3}
command -v ffmpeg >/dev/null || { echo "setup: torchcodec needs FFmpeg 4 to 9: apt-get install ffmpeg" >&2; exit 1; }
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pins=$1/pins.txt
echo "torch==2.13.0" >"$pins"

pip_install() {
    "$venv/bin/python" -m pip install --disable-pip-version-check --quiet --constraint "$pins" "$@"
}

pip_install "torch==2.13.0"
pip_install --no-deps "torchvision==0.28.0" "torchcodec==0.13.0" "lerobot==0.4.4"
pip_install "numpy>=2,<2.3" "datasets>=4,<4.2" "huggingface-hub>=0.34.2,<0.36" "av>=15,<16" "jsonlines>=4,<5" \
    "packaging<26" "draccus==0.10.0" "imageio>=2.34,<3" "termcolor>=2.4" "einops>=0.8,<0.9" "deepdiff>=7,<9" \
    "accelerate>=1.10,<2" "psutil>=6" "h5py>=3.12" "pandas>=2.2,<3" "pillow>=11"
# Its only contents are shape rules of compiled operators, which the wheel cannot load beside a CPU build of torch.
: >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torchvision/_meta_registrations.py"
"$venv/bin/python" - <<'END'
import torchcodec
import torchvision
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from torchcodec.decoders import VideoDecoder

print(f"setup: done, LeRobot with torchcodec {torchcodec.__version__}, torchvision {torchvision.__version__}")
END
