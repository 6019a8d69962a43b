"""Builds the one kernel of mamba-ssm that its selective scan runs, where the package cannot be installed as a whole.

    python benchmarks/build_mamba_scan.py SOURCE OUT [--arch 9.0]

SOURCE is the unpacked source package of mamba-ssm 2.3 (`pip download --no-deps --no-binary :all: mamba-ssm`). Needs
torch with CUDA, nvcc of the same major version, ninja, einops and triton; no network. Built are single precision and
bfloat16 with B and C that change with time, a quarter of the kernels of two of six pairs of types, which is what the
benchmark runs: a minute on sixteen cores instead of most of an hour. With `PYTHONPATH=OUT`,
`mamba_ssm.ops.selective_scan_interface` imports; of the package OUT holds what that module imports, behind empty
`__init__.py` files, as upstream's import language models too. Kernels are compiled as they are, with upstream's flags.
"""

import argparse
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

EXTENSION = "selective_scan_cuda"
MODULES = ("utils/torch", "utils/determinism", "ops/triton/layer_norm", "ops/selective_scan_interface")
TYPES = {"fp32": "float", "bf16": "at::BFloat16"}
PASSES = {"fwd": "SSMParamsBase", "bwd": "SSMParamsBwd"}
UNBUILT = [("at::Half", "float"), *((of, "c10::complex<float>") for of in ("at::Half", *TYPES.values()))]
FLAGS = [  # upstream's setup.py, but for architectures and the C++ standard, which torch's headers choose
    "-O3",
    "-U__CUDA_NO_HALF_OPERATORS__",
    "-U__CUDA_NO_HALF_CONVERSIONS__",
    "-U__CUDA_NO_BFLOAT16_OPERATORS__",
    "-U__CUDA_NO_BFLOAT16_CONVERSIONS__",
    "-U__CUDA_NO_BFLOAT162_OPERATORS__",
    "-U__CUDA_NO_BFLOAT162_CONVERSIONS__",
    "--expt-relaxed-constexpr",
    "--expt-extended-lambda",
    "--use_fast_math",
    "--split-compile=8",  # threads of one compiler
]
ONLY_TRUE = """
#define ONLY_TRUE(COND, CONST_NAME, ...)                              \\
    [&] {                                                             \\
        TORCH_CHECK(COND, #CONST_NAME " is false: built without it"); \\
        constexpr bool CONST_NAME = true;                             \\
        return __VA_ARGS__();                                         \\
    }()
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the package, mend and compile the kernel, import it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the unpacked source package")
    parser.add_argument("out", type=Path, help="a folder to put on PYTHONPATH")
    parser.add_argument("--arch", default="9.0", help="compute capability")
    chosen = parser.parse_args(arguments)
    if not (chosen.source / "csrc/selective_scan/selective_scan.cpp").is_file():
        parser.error(f"{chosen.source}: no csrc/selective_scan there; name mamba-ssm's unpacked source package")
    write_package(chosen.source, chosen.out)
    sources = write_sources(chosen.source / "csrc/selective_scan", chosen.out / "csrc")
    began = time.perf_counter()
    build(sources, chosen.out, arch=chosen.arch)
    print(f"{EXTENSION} built in {time.perf_counter() - began:.0f} s; PYTHONPATH={chosen.out.resolve()}", flush=True)
    return 0


def write_package(source: Path, out: Path) -> None:
    """What the interface's module imports, at the places where it looks."""
    for name in MODULES:
        to = out / "mamba_ssm" / f"{name}.py"
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / "mamba_ssm" / f"{name}.py", to)
        for folder in (to.parent, *to.parent.parents):
            if folder == out:
                break
            (folder / "__init__.py").touch()


def write_sources(source: Path, out: Path) -> list[Path]:
    """The kernel's sources in a folder of their own, fewer of its instances, and the files to compile."""
    out.mkdir(parents=True, exist_ok=True)
    for path in (*source.glob("*.h"), *source.glob("*.cuh"), source / "selective_scan.cpp"):
        text = path.read_text()
        if path.name == "static_switch.h":
            text += "#include <c10/util/Exception.h>\n" + ONLY_TRUE
        text = re.sub(r"BOOL_SWITCH\((params\.is_variable_[BC]), ", r"ONLY_TRUE(\1, ", text)
        (out / path.name).write_text(text)
    sources = [out / "selective_scan.cpp", out / "not_built.cpp"]
    sources[1].write_text(not_built())
    for direction, params in PASSES.items():
        for name, of in TYPES.items():
            sources.append(out / f"{direction}_{name}.cu")
            instance = f"template void selective_scan_{direction}_cuda<{of}, float>({params} &, cudaStream_t);\n"
            sources[-1].write_text(f'#include "selective_scan_{direction}_kernel.cuh"\n{instance}')
    return sources


def not_built() -> str:
    """What the dispatcher links to for other types: an error."""
    lines = [f"#include <{name}>" for name in ("ATen/ATen.h", "c10/cuda/CUDAStream.h", "c10/util/complex.h")]
    lines += ["#include <cstdint>", '#include "selective_scan.h"']
    for direction, params in PASSES.items():
        signature = f"selective_scan_{direction}_cuda{{}}({params} &, cudaStream_t)"
        lines.append(f"template <typename I, typename W> void {signature.format('')};")
        body = '{ TORCH_CHECK(false, "selective scan: built for real float32 and bfloat16 alone"); }'
        lines += [f"template <> void {signature.format(f'<{of}, {weight}>')} {body}" for of, weight in UNBUILT]
    return "\n".join(lines) + "\n"


def build(sources: Sequence[Path], out: Path, *, arch: str) -> None:
    """Compile with ninja, link into OUT and import."""
    os.environ |= {"TORCH_CUDA_ARCH_LIST": arch}
    os.environ.setdefault("MAX_JOBS", str(len(sources)))
    if (home := toolkit()) is not None:
        os.environ.setdefault("CUDA_HOME", str(home))
    from torch.utils.cpp_extension import load

    load(
        EXTENSION,
        [str(path.resolve()) for path in sources],
        extra_cflags=["-O3"],
        extra_cuda_cflags=FLAGS,
        extra_include_paths=[str(sources[0].parent.resolve())],
        build_directory=str(out.resolve()),
        verbose=True,
    )


def toolkit() -> Path | None:
    """Where nvcc's headers are; torch looks beside the link to it that is on the path, where they need not be."""
    found = shutil.which("nvcc")
    homes = [Path(found).resolve().parents[1]] if found else []
    return next((x for x in (*homes, Path("/usr/local/cuda")) if (x / "include/cuda_runtime.h").is_file()), None)


if __name__ == "__main__":
    sys.exit(main())
