"""A problem details answer (RFC 9457) of the service."""


def assert_problem(response: object, status: int, name: str) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "detail", "instance"}
    assert problem["type"] == f"/problems/{name}"
    assert problem["status"] == status
    assert problem["title"] and problem["detail"]
    assert problem["instance"] == f"/requests/{response.headers['x-request-id']}"
    return problem
