"""A fuzzer on what strangers type: ``python -m tests.fuzz --seconds 60`` (needs atheris: ``pip install atheris``)."""
