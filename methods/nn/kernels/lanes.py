"""Sixteen float32 side by side as one value in numba code: what LLVM's vectoriser does not find by itself here.

LLVM splits a vector of 16 into whatever registers the processor has (one with AVX-512, two with AVX2, four with NEON),
so code written with it runs anywhere numba does. Inside compiled functions: ``load``, ``store``, ``spread``, the four
arithmetic operators and the functions below.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, njit, types
from numba.extending import models, overload, register_model

LANES = 16
intrinsic: Any = extending.intrinsic  # its annotation hides that the typing context is not passed by the caller
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_VECTOR, _INTEGERS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)
_ALIGNMENT = 4  # of a float32: rows of an array start anywhere


class _Lanes(types.Type):
    def __init__(self):
        super().__init__(name=f"float32x{LANES}")


_lanes = _Lanes()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _VECTOR)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [ir.Constant(_FLOAT, float(np.float32(value)))] * LANES)


def _address(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _read(builder, address):
    value = builder.load(address)
    value.align = _ALIGNMENT
    return value


@intrinsic
def load(typingctx, array, index):
    """The 16 elements of a C-contiguous float32 array from flat position ``index`` on."""

    def codegen(context, builder, signature, args):
        return _read(builder, _address(context, builder, signature.args[0], *args))

    return _lanes(array, types.intp), codegen


@intrinsic
def store(typingctx, array, index, value):
    """Write 16 elements from flat position ``index`` on."""

    def codegen(context, builder, signature, args):
        address = _address(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], address).align = _ALIGNMENT
        return context.get_dummy_value()

    return types.none(array, types.intp, _lanes), codegen


@intrinsic
def spread(typingctx, scalar):
    """One float32 in all lanes."""

    def codegen(context, builder, signature, args):
        first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), args[0], ir.Constant(_INT, 0))
        return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(_INTEGERS, [0] * LANES))

    return _lanes(types.float32), codegen


def _define_operator(symbol, instruction: str) -> None:
    @intrinsic
    def combine(typingctx, left, right):
        def codegen(context, builder, signature, args):
            return getattr(builder, instruction)(*args, flags=("contract",))

        return _lanes(_lanes, _lanes), codegen

    @overload(symbol, inline="always")
    def _overload(left, right):
        if isinstance(left, _Lanes) and isinstance(right, _Lanes):
            return lambda left, right: combine(left, right)


for _symbol, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define_operator(_symbol, _instruction)


def _emit_larger(builder, left, right):
    return builder.select(builder.fcmp_ordered(">", left, right), left, right)


def _emit_exp2(builder, x):
    """2^x: a polynomial on x less the nearest integer, whose exponent field then takes that integer.

    Relative error 2e-7. Below -126 the result stays 2^-126, from 128 on it is infinite. The coefficients are a minimax
    fit made for this file.
    """
    low, high = _constant(-126.0), _constant(128.0)
    x = _emit_larger(builder, low, x)
    x = builder.select(builder.fcmp_ordered("<", high, x), high, x)
    to_integer = _constant(1.5 * 2**23)  # once added, the low bits of the mantissa are the nearest integer
    shifted = builder.fadd(x, to_integer)
    f = builder.fsub(x, builder.fsub(shifted, to_integer))
    p = _constant(0.001326472731307149)
    for coefficient in (0.009671512991189957, 0.05550733581185341, 0.24022242426872253, 0.6931470036506653, 1.0):
        p = builder.fadd(builder.fmul(p, f, flags=("contract",)), _constant(coefficient), flags=("contract",))
    exponent = builder.shl(builder.bitcast(shifted, _INTEGERS), ir.Constant(_INTEGERS, [23] * LANES))
    return builder.bitcast(builder.add(builder.bitcast(p, _INTEGERS), exponent), _VECTOR)


@intrinsic
def exp2(typingctx, x):
    """2 to the power of each lane."""

    def codegen(context, builder, signature, args):
        return _emit_exp2(builder, args[0])

    return _lanes(_lanes), codegen


@intrinsic
def larger(typingctx, left, right):
    """The larger of two, lane by lane; where the right one is NaN, NaN."""

    def codegen(context, builder, signature, args):
        return _emit_larger(builder, *args)

    return _lanes(_lanes, _lanes), codegen


_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
_MINUS_LOG2E = np.float32(-1.4426950408889634)
_Q1, _Q2 = np.float32(0.3333320915699005), np.float32(0.2001076340675354)
_Q3, _Q4 = np.float32(0.14000901579856873), np.float32(0.14006000757217407)


@njit(error_model="numpy")
def sigmoid(x):
    """1 / (1 + exp(-x)) of each lane."""
    one = spread(_ONE)
    return one / (one + exp2(spread(_MINUS_LOG2E) * x))


@njit(error_model="numpy")
def softplus(x):
    """log(1 + exp(x)) of each lane, from log(1 + e) = 2 artanh(e / (2 + e)) with e = exp(-|x|)."""
    zero = spread(_ZERO)
    e = exp2(spread(_MINUS_LOG2E) * larger(zero - x, x))
    s = e / (spread(_TWO) + e)
    v = s * s
    series = spread(_ONE) + v * (spread(_Q1) + v * (spread(_Q2) + v * (spread(_Q3) + v * spread(_Q4))))
    return larger(zero, x) + spread(_TWO) * s * series


@njit(error_model="numpy")
def zeros(vectors):
    """Zeroed memory for so many vectors, each within one cache line: one that straddles two takes twice as long."""
    memory = np.zeros((vectors + 1) * LANES, np.float32)
    ahead = -(memory.ctypes.data // _ALIGNMENT) % LANES
    return memory[ahead : ahead + vectors * LANES]


def _emit_sums(builder, vectors):
    """Lane j of the result is the sum of all lanes of vector j: a tree of 15 additions in place of 16 x 15."""
    width = LANES // 2
    while len(vectors) > 1:
        low = [i + (LANES if (i // width) % 2 else 0) - (width if (i // width) % 2 else 0) for i in range(LANES)]
        high = [i + width for i in low]
        masks = [ir.Constant(_INTEGERS, mask) for mask in (low, high)]
        # Vectors half the list apart are paired, so that lanes end up in the order of the list.
        half = len(vectors) // 2
        pairs = [(vectors[j], vectors[j + half]) for j in range(half)]
        vectors = [builder.fadd(*(builder.shuffle_vector(a, b, m) for m in masks)) for a, b in pairs]
        width //= 2
    return vectors[0]


@intrinsic
def lane_sums(typingctx, array, index):
    """Sums over lanes of the 16 vectors stored one after the other from flat position ``index`` on."""

    def codegen(context, builder, signature, args):
        vectors = []
        for j in range(LANES):
            start = builder.add(args[1], ir.Constant(args[1].type, j * LANES))
            vectors.append(_read(builder, _address(context, builder, signature.args[0], args[0], start)))
        return _emit_sums(builder, vectors)

    return _lanes(array, types.intp), codegen
