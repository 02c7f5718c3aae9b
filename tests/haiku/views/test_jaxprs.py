"""What the views know of JAX's equations."""

import jax
import jax.numpy as jnp
import pytest

from haiku.views import jaxprs

X = jnp.ones([2, 3])


def equations(f, *args):
    return jaxprs.open_jaxpr(jax.make_jaxpr(f)(*args)).eqns


def test_open_jaxpr_takes_either_form():
    closed = jax.make_jaxpr(jnp.sin)(X)
    opened = jaxprs.open_jaxpr(closed)
    assert opened.eqns[0].primitive.name == "sin"
    assert jaxprs.open_jaxpr(opened).eqns == opened.eqns


def test_loops_and_jits_run_a_program_with_its_inputs():
    def f(x, bound):
        x = jax.lax.fori_loop(0, 3, lambda i, c: c * 2, x)
        x = jax.lax.while_loop(lambda c: c.sum() < bound, lambda c: c + bound, x)
        return jax.jit(jnp.sin)(x)

    eqns = {e.primitive.name: e for e in equations(f, X, 1.0)}
    scan = jaxprs.called(eqns["scan"])
    assert scan.title == "scan length=3 unroll=1" and scan.times == 3
    loop = jaxprs.called(eqns["while"])
    # The condition's own constant comes first, and is none of the body's inputs.
    assert list(loop.invars) == list(eqns["while"].invars[1:]) and loop.times == 1
    assert jaxprs.called(eqns["jit"]).title == "sin"
    for inner in (scan, loop):
        assert len(inner.invars) == len(inner.jaxpr.invars)


@pytest.mark.parametrize("f", [jnp.sin, lambda x: jnp.sort(x), lambda x: jnp.cumsum(x)])
def test_operations_run_no_program(f):
    operations = [e for e in equations(f, X) if e.primitive.name != "jit"]
    assert [jaxprs.called(e) for e in operations] == [None] * len(operations)
    assert [jaxprs.branches(e) for e in operations] == [[]] * len(operations)


def test_a_call_of_another_form_is_an_operation():
    class Equation:
        class primitive:
            name = "remat2"

        params: dict = {}
        invars, outvars = (), ()

    assert jaxprs.called(Equation) is None
    (sin,) = equations(jnp.sin, X)
    Equation.params = {"jaxpr": jax.make_jaxpr(jnp.sin)(X)}
    assert jaxprs.called(Equation) is None  # No inputs, where the program has one.
    Equation.invars, Equation.outvars = sin.invars, sin.outvars
    assert jaxprs.called(Equation).title == "remat"


def test_switch_has_branches():
    (*_, cond) = equations(lambda x: jax.lax.switch(1, [jnp.sin, jnp.cos], x), X)
    inner = jaxprs.branches(cond)
    assert [b.title for b in inner] == ["branch 0", "branch 1"]
    assert [b.jaxpr.eqns[0].primitive.name for b in inner] == ["sin", "cos"]
    assert list(inner[0].invars) == list(cond.invars[1:])


def test_a_jitted_activation_is_shown_once():
    relu = jax.jit(jax.nn.relu)
    (eqn,) = equations(lambda x: relu(x), X)
    inner = jaxprs.called(eqn)
    assert inner.title == "custom_jvp" and inner.invars == eqn.invars
    (other,) = equations(lambda x: jax.jit(lambda x: jax.nn.relu(x))(x), X)
    assert jaxprs.called(other).title == "<lambda>"


def test_equations_are_grouped_by_named_scope():
    def f(x):
        with jax.named_scope("a"):
            with jax.named_scope("b"):
                x = jnp.sin(x)
            x = jnp.cos(x)
        with jax.named_scope("a"):
            x = jnp.tanh(x)
        return jnp.exp(x).sum()

    eqns = equations(f, X)
    assert [jaxprs.scopes(e) for e in eqns][:3] == [["a", "b"], ["a"], ["a"]]
    group, *rest = jaxprs.grouped(jaxprs.open_jaxpr(jax.make_jaxpr(f)(X)))
    assert (group.path, len(group.items)) == (("a",), 3)
    assert group.items[0].path == ("a", "b")
    assert len(rest) == 2
    names = {name for e in equations(jax.grad(f), X) for name in jaxprs.scopes(e)}
    assert {"jvp(a)", "transpose(jvp(a))"} <= names


def test_variables_have_shapes_and_letters():
    class NoArray:
        aval = "token"

    assert jaxprs.aval_text(NoArray) == "token"
    (add,) = equations(lambda x: x + 1.5, jnp.ones([2], jnp.bfloat16))
    assert jaxprs.aval_text(add.invars[0]) == "bf16[2]"
    letters = jaxprs.Letters()
    assert letters(add.invars[0]) == letters(add.invars[0]) == "a"
    assert letters(add.invars[1]) == "1.5" and letters(add.outvars[0]) == "b"
    assert [letters(object()) for _ in range(25)][-3:] == ["y", "z", "ba"]
