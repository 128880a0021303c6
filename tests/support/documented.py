"""What schemathesis checks besides its own, loaded through SCHEMATHESIS_HOOKS by test_openapi.py."""

import re

import schemathesis

# A picture, a known item and a date: of their texts no schema can say which are right
UNSAID = re.compile(r"(records\.\d+\.)?(image|items\.\d+|since)")


@schemathesis.check
def only_what_no_schema_can_say_is_refused(ctx, response, case) -> None:
    if case.meta.generation.mode.is_positive and response.status_code == 422:
        odd = [one for one in response.json()["detail"] if not UNSAID.fullmatch(one["field"])]
        assert odd == [], odd
