"""Published files are read as tensors, whatever else somebody has put into them."""

import hashlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from nqs_core import weight_files
from nqs_core.errors import ConfigError

DATA = Path(__file__).parent / "data"
TINY = "rwkv7_tiny_64x2_v2"


@pytest.mark.parametrize("suffix", weight_files.SUFFIXES)
def test_both_formats_hold_the_same_tensors(suffix):
    expected = np.load(DATA / f"{TINY}.npz")
    names = {name[2:] for name in expected.files if name.startswith("w:")}
    with weight_files.tensors(DATA / f"{TINY}{suffix}") as tensors:
        assert tensors.keys() == names
        for name, tensor in tensors.items():
            value = tensor.read()
            assert tensor.shape == value.shape
            assert value.dtype == np.float16
            np.testing.assert_array_equal(value, expected[f"w:{name}"], err_msg=name)


def test_bfloat16_is_read(tmp_path):
    numbers = np.arange(-6, 6).reshape(3, 4).astype(ml_dtypes.bfloat16)
    header = b'{"a":{"dtype":"BF16","shape":[3,4],"data_offsets":[0,24]}}'
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + numbers.tobytes())
    archive(tmp_path / "a.pth", tensor("BFloat16Storage", (3, 4), (4, 1)), {"0": numbers.tobytes()})
    for name in ("a.safetensors", "a.pth"):
        with weight_files.tensors(tmp_path / name) as tensors:
            np.testing.assert_array_equal(tensors["a"].read(), numbers)


def archive(path: Path, pickled: bytes, storages: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("model/data.pkl", pickled)
        for key, raw in storages.items():
            file.writestr(f"model/data/{key}", raw)


def tensor(storage: str, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, size: int = 12) -> bytes:
    """The pickle of {"a": tensor} as PyTorch writes it, opcode by opcode."""

    def literal(value: Any) -> bytes:
        return pickle.dumps(value, 2)[2:-1]  # without protocol and stop

    reference = b"(" + literal("storage") + b"ctorch\n" + storage.encode() + b"\n"
    reference += literal("0") + literal("cpu") + literal(size) + b"tQ"
    arguments = b"(" + reference + literal(offset) + literal(shape) + literal(strides)
    arguments += b"\x89" + b"ccollections\nOrderedDict\n)R" + b"t"
    return b"\x80\x02}(" + literal("a") + b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Ru."


def test_a_tensor_may_be_a_part_of_its_storage(tmp_path):
    numbers = np.arange(12, dtype=np.float32)
    archive(tmp_path / "a.pth", tensor("FloatStorage", (3, 2), (1, 4), offset=1), {"0": numbers.tobytes()})
    with weight_files.tensors(tmp_path / "a.pth") as tensors:
        np.testing.assert_array_equal(tensors["a"].read(), numbers[1:].reshape(-1)[[[0, 4], [1, 5], [2, 6]]])


class Evil:
    """What a pickle does when it is executed: here it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_never_executed(tmp_path, protocol):
    mark = tmp_path / "executed"
    raw = pickle.dumps({"a": Evil(mark)}, protocol)
    pickle.loads(raw)
    assert mark.exists()  # the attack works where pickles are trusted
    mark.unlink()
    archive(tmp_path / "evil.pth", raw, {})
    with pytest.raises(ConfigError, match="more than tensors"), weight_files.tensors(tmp_path / "evil.pth"):
        pass
    assert not mark.exists()


GLOBALS = [("builtins", "eval"), ("posix", "system"), ("torch", "load"), ("numpy", "fromfile"), ("torch._utils", "x.y")]


@pytest.mark.parametrize("name", GLOBALS)
def test_no_name_but_those_of_tensors_means_anything(tmp_path, name):
    raw = b"\x80\x04c" + "\n".join(name).encode() + b"\n(X\x01\x00\x00\x001tR."
    archive(tmp_path / "evil.pth", raw, {})
    with pytest.raises(ConfigError, match=f"more than tensors: {name[0]}"), weight_files.tensors(tmp_path / "evil.pth"):
        pass


def test_attributes_that_a_pickle_sets_are_gone_with_it(tmp_path):
    """BUILD may write to a function that find_class gave."""
    builder = b"ctorch._utils\n_rebuild_tensor_v2\n"
    archive(tmp_path / "evil.pth", b"\x80\x02" + builder + b"N}X\x0c\x00\x00\x00__defaults__(K\x01ts\x86b.", {})
    with pytest.raises(ConfigError, match="no dict of tensors"), weight_files.tensors(tmp_path / "evil.pth"):
        pass
    test_a_tensor_may_be_a_part_of_its_storage(tmp_path)


BROKEN = {
    "beyond": (tensor("FloatStorage", (4, 4), (4, 1)), "beyond its storage"),
    "negative": (tensor("FloatStorage", (3, 4), (-4, 1)), "more than tensors"),
    "short": (tensor("FloatStorage", (3, 5), (5, 1), size=15), "has 48 bytes"),
    "integers": (tensor("LongStorage", (3, 4), (4, 1)), "more than tensors: torch.LongStorage"),
    "list": (pickle.dumps([1, 2]), "no dict of tensors"),
    "number": (pickle.dumps({"a": 1}), "'a' in it is no tensor"),
    "cut": (tensor("FloatStorage", (3, 4), (4, 1))[:-20], "damaged"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_file_of_tensors_is_refused(tmp_path, case):
    pickled, why = BROKEN[case]
    archive(tmp_path / "a.pth", pickled, {"0": np.zeros(12, np.float32).tobytes()})
    with pytest.raises(ConfigError, match=why), weight_files.tensors(tmp_path / "a.pth") as tensors:
        tensors["a"].read()


def test_other_files_are_refused(tmp_path):
    archive(tmp_path / "bomb.pth", pickle.dumps({}), {}, zipfile.ZIP_DEFLATED)
    (tmp_path / "old.pth").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "cut.safetensors").write_bytes((DATA / f"{TINY}.safetensors").read_bytes()[:-1])
    for name, why in (("bomb.pth", "compressed"), ("old.pth", "no ZIP"), ("cut.safetensors", "safetensors")):
        words = rf"init_from.file: {name} cannot be used: .*{why}"
        with pytest.raises(ConfigError, match=words), weight_files.tensors(tmp_path / name):
            pass
    with pytest.raises(ConfigError, match=r"no\.pth cannot be read"), weight_files.tensors(tmp_path / "no.pth"):
        pass


def test_files_are_found_below_their_folder_only(tmp_path):
    folder, outside = tmp_path / "weights", tmp_path / "secret.pth"
    (folder / "tiny").mkdir(parents=True)
    for path in (outside, folder / "notes.txt", folder / "tiny" / "a.pth"):
        path.write_bytes(b"x")
    save_file({"a": np.zeros(3)}, folder / "b.safetensors")
    (folder / "link.pth").symlink_to(outside)
    listed = weight_files.listing(folder)
    assert [entry["file"] for entry in listed] == ["b.safetensors", "tiny/a.pth"]
    assert listed[1]["bytes"] == 1
    for entry in listed:
        path = weight_files.find(folder, entry["file"])
        assert weight_files.sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    for name in ("../secret.pth", str(outside), "link.pth", "tiny/../../secret.pth"):
        with pytest.raises(ConfigError, match="below the folder 'weights'"):
            weight_files.find(folder, name)
    with pytest.raises(ConfigError, match="does not end with"):
        weight_files.find(folder, "notes.txt")
    for name in ("tiny/b.pth", f"{199 * 'ä'}.pth"):
        with pytest.raises(ConfigError, match="there is no"):
            weight_files.find(folder, name)
    assert weight_files.listing(tmp_path / "nowhere") == []
