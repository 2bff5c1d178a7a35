"""The files of a region folder: syntax trees with their imports, lines of code and value, and errors with their place.

What the files mean is told by `expression` and `region`.
"""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from pipelines.scheme.loader import SchemeError

# The largest file there is holds 3 MB.
MAX_BYTES = 1 << 26
SHOWN_CHARACTERS = 120
LINE_END = re.compile(r"\r\n|\r|\n")
BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Module:
    """A Python file: the folder and name it has, its tree, its functions, and name -> (folder, module, line) imported."""

    package: str
    name: str
    tree: ast.Module
    functions: dict[str, ast.FunctionDef]
    imported: dict[str, tuple[str, str, int]]


class RegionFolder:
    """Reads the files of `folder`, once each, and keeps a digest over everything that was read."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.notes: list[str] = []
        self._modules: dict[tuple[str, str], Module] = {}
        self._contents: dict[str, bytes] = {}

    @property
    def content_hash(self) -> str:
        """Sixteen hexadecimal digits over the names and contents of the files read so far."""
        digest = hashlib.sha256()
        for name, content in sorted(self._contents.items()):
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:16]

    def module(self, name: str, package: str = "") -> Module:
        """Return a Python file by its name and the folder that it is in. Raises SchemeError."""
        if (package, name) not in self._modules:
            self._modules[package, name] = self._parsed(package, name)
        return self._modules[package, name]

    def imported(self, module: Module, name: str, line: int, packages: tuple[str, ...]) -> Module:
        """Return the module that `name`, used in `line` of `module`, was imported as. Raises SchemeError."""
        package, original, imported_line = module.imported.get(name, ("", "", line))
        if name not in module.imported:
            package, original = self._forgotten(module, name, line, packages)
        if package not in packages:
            raise self.error(module, line, f"{name} 不是从 {'、'.join(packages)} 导入的")
        if not (self.folder / package / f"{original}.py").is_file():
            raise self.error(
                module,
                imported_line,
                f"导入了 {package}/{original}.py，但没有这个文件：OpenDRG 自己也无法导入本地区",
            )
        return self.module(original, package)

    def _forgotten(self, module: Module, name: str, line: int, packages: tuple[str, ...]) -> tuple[str, str]:
        """A module that is used without being imported: OpenDRG stops with a NameError there. Taken if there is one file."""
        found = [package for package in packages if (self.folder / package / f"{name}.py").is_file()]
        if len(found) != 1:
            raise self.error(module, line, f"使用了没有导入的 {name}")
        place = self._shown(self._path(module.package, module.name))
        self.notes.append(
            f"{place}:{line}：使用了没有导入的 {name}，OpenDRG 在此中断；按 {found[0]}/{name}.py 收入"
        )
        return found[0], name

    def function(self, module: Module, name: str) -> ast.FunctionDef:
        """Return a function of a module. Raises SchemeError."""
        if name not in module.functions:
            raise self.error(module, 1, f"没有函数 {name}")
        return module.functions[name]

    def lines(self, name: str) -> dict[str, str]:
        """Return code -> value of a file of lines `code value`; of a code that occurs twice, the last one counts.

        A byte-order mark makes the first code one that no case has, as it does for OpenDRG; a note says so.
        """
        try:
            text = self._content(name).decode("utf-8")
        except UnicodeDecodeError as error:
            raise SchemeError(f"{self._shown(name)}：不是 UTF-8 文本") from error
        values: dict[str, str] = {}
        for line in LINE_END.split(text):
            code, _, value = line.partition(" ")
            if code.startswith(BYTE_ORDER_MARK):
                self.notes.append(
                    f"{self._shown(name)}:1：文件以字节序标记（BOM）开头，OpenDRG 因此认不出首个编码 {code[1:]}；"
                    "导入结果与它一致，不收入该编码"
                )
            elif code:
                values[code] = value
        return values

    def error(self, module: Module, line: int, what: str) -> SchemeError:
        """Return the error `what` at a line of a module."""
        return SchemeError(f"{self._shown(self._path(module.package, module.name))}:{line}：{what}")

    def unknown(self, module: Module, node: ast.AST) -> SchemeError:
        """Return the error that a piece of syntax is not understood."""
        text = ast.unparse(node)
        if len(text) > SHOWN_CHARACTERS:
            text = f"{text[:SHOWN_CHARACTERS]}…"
        return self.error(module, getattr(node, "lineno", 1), f"看不懂：{text}")

    def _parsed(self, package: str, name: str) -> Module:
        path = self._path(package, name)
        try:
            with warnings.catch_warnings():
                # Escapes in their regular expressions that Python will refuse one day; none of them is read here.
                warnings.simplefilter("ignore")
                tree = ast.parse(self._content(path))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None) or 1
            raise SchemeError(f"{self._shown(path)}:{line}：不是有效的 Python 文件：{error}") from error
        imported = {
            alias.asname or alias.name: (node.module.split(".")[-1], alias.name, node.lineno)
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        return Module(package, name, tree, functions, imported)

    def _content(self, name: str) -> bytes:
        if name not in self._contents:
            path = self.folder / name
            try:
                if path.stat().st_size > MAX_BYTES:
                    raise SchemeError(f"{self._shown(name)}：文件超过 {MAX_BYTES >> 20} MB")
                self._contents[name] = path.read_bytes()
            except OSError as error:
                raise SchemeError(f"{self._shown(name)}：无法读取：{error.strerror}") from error
        return self._contents[name]

    @staticmethod
    def _path(package: str, name: str) -> str:
        return f"{package}/{name}.py" if package else f"{name}.py"

    def _shown(self, name: str) -> str:
        return f"{self.folder.name}/{name}"
