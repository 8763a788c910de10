"""Run atheris over the targets for a while; a crash ends it and is written to a file, as libFuzzer does it."""

import argparse
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")


def main():
    """Fuzz one target."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", choices=("url", "headers"), default="url")
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    try:
        import atheris
    except ImportError:
        parser.error("atheris is not installed: pip install atheris")
    import django

    with atheris.instrument_imports(include=["tms_webhooks.net", "tms_webhooks.validators"]):
        django.setup()
        from tests.fuzz import targets

    def once(data):
        text = atheris.FuzzedDataProvider(data).ConsumeUnicode(len(data))
        if options.target == "url" and len(data) % 2:
            # Half of them begin like a URL, or nearly all would end at the scheme.
            text = f"https://{text}"
        found = targets.url(text) if options.target == "url" else targets.header_lines(text)
        if options.target == "url" and found is not None:
            assert targets.url(found.url) == found

    atheris.Setup([sys.argv[0], f"-max_total_time={options.seconds}", "-max_len=400"], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
