"""Certificates for tests, made once per run by the openssl command."""

import subprocess
from pathlib import Path

__all__ = ["Authority"]


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Authority:
    """Somebody who signs."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._certificate, self._key = folder / "ca.crt", folder / "ca.key"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        files = ["-keyout", str(self._key), "-out", str(self._certificate), "-subj", f"/CN={name}"]
        openssl("req", "-x509", *curve, *files)

    @property
    def pem(self) -> str:
        return self._certificate.read_text()

    def sign(self, label: str, *names: str) -> tuple[Path, Path]:
        """A certificate for these DNS names, and its key."""
        certificate, key = self.folder / f"{label}.crt", self.folder / f"{label}.key"
        request, extensions = self.folder / f"{label}.csr", self.folder / f"{label}.ext"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", *curve, "-keyout", str(key), "-out", str(request), "-subj", f"/CN={label}")
        extensions.write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in names))
        signer = ["-CA", str(self._certificate), "-CAkey", str(self._key), "-CAcreateserial", "-days", "2"]
        openssl("x509", "-req", "-in", str(request), "-out", str(certificate), "-extfile", str(extensions), *signer)
        return certificate, key
