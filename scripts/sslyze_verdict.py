"""Reads what sslyze found, prints the cipher suites, and fails on everything that a mail client must not be offered."""

import json
import sys

OLD = ["ssl_2_0_cipher_suites", "ssl_3_0_cipher_suites", "tls_1_0_cipher_suites", "tls_1_1_cipher_suites"]
NEW = ["tls_1_2_cipher_suites", "tls_1_3_cipher_suites"]
# Where in a result, and what must stand there.
FACTS = [
    ("tls_compression", "supports_compression", False),
    ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos", False),
    ("tls_1_3_early_data", "supports_early_data", False),
    ("heartbleed", "is_vulnerable_to_heartbleed", False),
    ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection", False),
    ("robot", "robot_result", "NOT_VULNERABLE_RSA_NOT_SUPPORTED"),
    ("tls_extended_master_secret", "supports_ems_extension", True),
]


def is_modern(suite):
    return suite.startswith("TLS_ECDHE_") and suite.endswith(("_GCM_SHA256", "_GCM_SHA384", "_CHACHA20_POLY1305_SHA256"))


def mistakes(path):
    [scan] = json.load(open(path))["server_scan_results"]
    if scan["scan_status"] != "COMPLETED":
        yield f"not scanned: {scan.get('connectivity_error_trace')}"
        return
    found = scan["scan_result"]

    def result(name):
        assert found[name]["status"] == "COMPLETED", (path, name, found[name])
        return found[name]["result"]

    def suites(name):
        return [accepted["cipher_suite"]["name"] for accepted in result(name)["accepted_cipher_suites"]]

    for version in OLD:
        yield from (f"{version}: {suite}" for suite in suites(version))
    for version in NEW:
        accepted = suites(version)
        print(path.rsplit("/", 1)[-1], version, *accepted)
        if not accepted:
            yield f"{version}: none"
    yield from (f"TLS 1.2: {suite}" for suite in suites(NEW[0]) if not is_modern(suite))
    for command, field, wanted in FACTS:
        if result(command)[field] != wanted:
            yield f"{command}: {field} is {result(command)[field]}"


wrong = [f"{path}: {mistake}" for path in sys.argv[1:] for mistake in mistakes(path)]
print(*wrong, sep="\n", end="\n" if wrong else "")
sys.exit(bool(wrong))
