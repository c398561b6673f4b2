from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_compress import clustering, pruning
from keras_compress.distillation import AttentionTransfer, Distiller, Hints, SoftTargets
from keras_compress.errors import KerasCompressError
from tests.distillation.nets import compiled, fit, net, student, teacher, values
from tests.training import data, not_torch, subclassed, tensorflow_only


@pytest.fixture(scope="module")
def big():
    return teacher()


def test_a_student_comes_to_agree_with_its_teacher(big):
    x, _ = data()
    distiller = compiled(
        Distiller(big, student(), student_loss_weight=0.0), keras.optimizers.Adam(0.01)
    )
    history = fit(distiller, epochs=8).history
    assert history["distillation_loss"][-1] < 0.2 * history["distillation_loss"][0]
    agree = distiller.student.predict(x, verbose=0).argmax(-1) == big.predict(x, verbose=0).argmax(
        -1
    )
    assert agree.mean() > 0.95


def test_the_teacher_is_neither_trained_nor_changed_nor_tracked(big):
    before, flag = values(big), big.trainable
    distiller = compiled(Distiller(big, student(), [SoftTargets(), Hints("conv", "conv")]))
    fit(distiller)
    assert all(np.array_equal(a, b) for a, b in zip(before, values(big), strict=True))
    assert big.trainable is flag
    own = {id(v) for v in distiller.variables}
    assert not own & {id(v) for v in big.variables}
    # The student's weights, the projection's two and the step.
    assert len(distiller.variables) == len(distiller.student.variables) + 3


def test_the_loss_is_the_weighted_sum(big):
    x, y = data()
    small = student()
    losses = [SoftTargets(4.0), AttentionTransfer("conv", "conv")]
    distiller = compiled(Distiller(big, small, losses, [1.0, 50.0], student_loss_weight=0.3))
    result = distiller.evaluate(x, y, batch_size=len(x), verbose=0, return_dict=True)
    theirs, ours = big.predict(x, verbose=0), small.predict(x, verbose=0)
    maps = [keras.Model(m.inputs, m.get_layer("conv").output)(x) for m in (big, small)]
    told = SoftTargets(4.0, from_logits=True, teacher_from_logits=True, kind="softmax")
    soft = float(told.compute_loss(theirs, ours))
    attention = float(AttentionTransfer("conv", "conv").compute_loss(*maps))
    hard = float(keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, ours))
    assert result["student_loss"] == pytest.approx(hard, rel=1e-4)
    assert result["distillation_loss"] == pytest.approx(soft + 50 * attention, rel=1e-4)
    assert result["loss"] == pytest.approx(0.3 * hard + 0.7 * (soft + 50 * attention), rel=1e-4)


def test_it_starts_as_keras_own_distiller_and_trains_like_it(big):
    x, y = data()
    histories = []
    for cls in (keras.distillation.Distiller, Distiller):
        copy = keras.models.clone_model(big)
        copy.set_weights(big.get_weights())
        loss = keras.distillation.LogitsDistillation(3.0, keras.losses.KLDivergence())
        distiller = compiled(cls(copy, student(), loss, student_loss_weight=0.5), "sgd")
        history = distiller.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
        histories.append(history.history["total_loss"])
    assert histories[0] == pytest.approx(histories[1], rel=1e-4)


@pytest.mark.backend_independent
def test_keras_own_feature_loss_works_too(big):
    loss = keras.distillation.FeatureDistillation("mse", "conv", "conv")
    small = student(width=12)
    distiller = compiled(Distiller(big, small, loss, student_loss_weight=0.0))
    losses = fit(distiller, epochs=3).history["distillation_loss"]
    assert losses[-1] < losses[0]


def test_the_student_runs_once_a_step(big):
    keras.utils.set_random_seed(0)
    norm = keras.layers.BatchNormalization(momentum=0.0, name="norm")
    small = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(4, 3, name="conv"),
            norm,
            keras.layers.Flatten(),
            keras.layers.Dense(4, name="logits"),
        ]
    )
    calls = []
    original = norm.call
    norm.call = lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs)
    distiller = Distiller(big, small, [SoftTargets(), Hints("conv", "conv")])
    compiled(distiller, run_eagerly=keras.backend.backend() == "tensorflow", jit_compile=False)
    x, y = data()
    calls.clear()
    if keras.backend.backend() == "tensorflow":
        distiller.train_on_batch(x[:16], y[:16])
        assert len(calls) == 1


def test_regularizers_of_the_student_count(big):
    small = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(4, kernel_regularizer=keras.regularizers.L2(1.0), name="logits"),
        ]
    )
    distiller = compiled(Distiller(big, small))
    x, y = data()
    result = distiller.evaluate(x, y, batch_size=len(x), verbose=0, return_dict=True)
    penalty = float((np.array(small.layers[-1].kernel) ** 2).sum())
    expected = 0.5 * result["student_loss"] + 0.5 * result["distillation_loss"] + penalty
    assert result["loss"] == pytest.approx(expected, rel=1e-4)


def test_weights_follow_schedules_of_the_step(big):
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(int(keras.ops.convert_to_numpy(self.model.step)))

    x, y = data()
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([5.5], [1.0, 0.0])
    distiller = compiled(Distiller(big, student(), student_loss_weight=schedule), "sgd")
    kwargs = {"batch_size": 16, "verbose": 0, "shuffle": False}
    distiller.fit(x, y, epochs=1, callbacks=[Seen()], **kwargs)  # six steps
    assert seen[-1] == 6
    # Steps 0 to 5 learned from the labels alone, so a plain student has the same weights.
    plain = student()
    plain.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    plain.fit(x, y, epochs=1, **kwargs)
    for a, b in zip(values(plain), values(distiller.student), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    history = distiller.fit(x, y, epochs=1, **kwargs).history
    assert history["total_loss"][0] == pytest.approx(history["distillation_loss"][0], rel=1e-4)


def test_several_teachers_are_averaged_by_their_shares(big):
    x, y = data()
    other, small = teacher(seed=2, epochs=1), student()
    losses = [
        compiled(Distiller(models, small, student_loss_weight=0.0, teacher_weights=shares))
        for models, shares in ((big, None), (other, None), ([big, other], [3, 1]))
    ]
    found = [d.evaluate(x, y, verbose=0, return_dict=True)["loss"] for d in losses]
    assert found[2] == pytest.approx(0.75 * found[0] + 0.25 * found[1], rel=1e-4)
    assert losses[2].teachers == (big, other)


@pytest.mark.backend_independent
def test_the_shares_of_teachers_outlive_a_file_and_new_teachers(big, tmp_path):
    other = teacher(seed=2, epochs=1)
    distiller = compiled(Distiller([big, other], student(), teacher_weights=[3, 1]))
    distiller.save(tmp_path / "distiller.keras")
    loaded = keras.models.load_model(tmp_path / "distiller.keras")
    with pytest.raises(KerasCompressError, match="for 1 teachers"):
        loaded.set_teacher(big)
    loaded.set_teacher([big, other])
    x, y = data()
    found = [d.evaluate(x, y, verbose=0, return_dict=True)["loss"] for d in (distiller, loaded)]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    loaded.set_teacher([big, other], teacher_weights=[1, 1])
    assert loaded.teacher_weights == [0.5, 0.5]


@pytest.mark.backend_independent
def test_a_hint_may_come_from_any_teacher(big):
    other = teacher(seed=2, width=7, epochs=1)
    losses = [SoftTargets(), Hints("conv", "conv", teacher=1)]
    distiller = compiled(Distiller([big, other], student(), losses))
    assert [p.units for p in distiller.projections] == [7]
    before = values(distiller.projections[0])
    fit(distiller)
    assert not np.array_equal(before[0], values(distiller.projections[0])[0])


def test_pruning_and_clustering_work_on_the_student_in_the_same_fit(big):
    distiller = compiled(Distiller(big, student(), [SoftTargets(), Hints("conv", "conv")]))
    callbacks = [pruning.PruningCallback(0.5), clustering.ClusteringCallback(6)]
    history = fit(distiller, epochs=2, callbacks=callbacks)
    assert history.history["sparsity"][-1] == pytest.approx(0.5, abs=0.02)
    small = clustering.finalize(pruning.finalize(distiller.student))
    for layer in (small.get_layer("conv"), small.get_layer("logits")):
        kernel = np.array(layer.kernel)
        assert np.mean(kernel == 0) >= 0.49
        assert np.unique(kernel).size <= 6
    rows = {f"{row.layer}/{row.weight}": row.action for row in pruning.report(distiller)}
    assert rows["hint_conv_to_conv/projection"] == "left alone"
    assert all(np.count_nonzero(kernel) == kernel.size for kernel in values(big)[:1])


def test_a_prepared_student_is_distilled_in_its_wrappers(big):
    wrapped = pruning.prepare(student(), pruning.PruningConfig(0.5))
    distiller = compiled(Distiller(big, wrapped, [SoftTargets(), Hints("conv", "conv")]))
    fit(distiller, callbacks=[pruning.PruningCallback(0.5)])
    small = pruning.finalize(distiller.student)
    assert np.mean(np.array(small.get_layer("conv").kernel) == 0) == pytest.approx(0.5, abs=0.03)


def test_a_file_holds_the_student_and_training_goes_on_from_it(big, tmp_path):
    losses = [SoftTargets(4.0), Hints("conv", "conv")]
    schedule = keras.optimizers.schedules.PolynomialDecay(0.9, 20, 0.1)
    unbroken = compiled(Distiller(big, student(), losses, student_loss_weight=schedule))
    fit(unbroken, epochs=2, callbacks=[pruning.PruningCallback(0.5)])
    path = tmp_path / "distiller.keras"
    unbroken.save(path)
    loaded = keras.models.load_model(path)
    assert loaded.teachers == ()
    assert sum(v.size for v in map(np.asarray, values(loaded))) == sum(
        v.size for v in map(np.asarray, values(unbroken))
    )
    with pytest.raises(KerasCompressError, match="set_teacher"):
        fit(loaded)
    loaded = keras.models.load_model(path)
    loaded.set_teacher(big)
    for distiller in (unbroken, loaded):
        fit(distiller, epochs=1, callbacks=[pruning.PruningCallback(0.5, initial_step=12)])
    for a, b in zip(values(unbroken), values(loaded), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.backend_independent
def test_the_student_alone_is_a_plain_model(big, tmp_path):
    distiller = compiled(Distiller(big, student()))
    fit(distiller)
    distiller.student.save(tmp_path / "student.keras")
    alone = keras.models.load_model(tmp_path / "student.keras")
    x, _ = data()
    np.testing.assert_array_equal(alone.predict(x, verbose=0), distiller.predict(x, verbose=0))
    assert alone.count_params() == net(4, "same").count_params()


def test_subclassed_students_learn_from_outputs(big):
    distiller = compiled(Distiller(big, subclassed()))
    losses = fit(distiller, epochs=2).history["distillation_loss"]
    assert losses[-1] < losses[0]
    with pytest.raises(KerasCompressError, match="subclassed student"):
        Distiller(big, subclassed(), Hints("conv", "conv"))


def test_samples_of_weight_zero_are_learned_from_the_teacher_alone(big):
    x, y = data()
    students = []
    for labels in (y, np.roll(y, 1)):
        distiller = compiled(Distiller(big, student()))
        distiller.fit(
            x, labels, batch_size=16, sample_weight=np.zeros(len(y)), shuffle=False, verbose=0
        )
        students.append(values(distiller.student))
    for a, b in zip(*students, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


@not_torch
def test_several_steps_an_execution_are_the_same(big):
    results = []
    for steps in (1, 3):
        distiller = compiled(Distiller(big, student()), "sgd", steps_per_execution=steps)
        fit(distiller)
        results.append(values(distiller.student))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@tensorflow_only
def test_two_replicas_train_like_one(two_replicas):
    results = []
    for strategy in (None, two_replicas):
        if strategy is None:
            distiller = compiled(Distiller(teacher(epochs=0), student()), "sgd")
        else:
            with strategy.scope():
                distiller = compiled(Distiller(teacher(epochs=0), student()), "sgd")
        history = fit(distiller)
        assert int(np.asarray(keras.ops.convert_to_numpy(distiller.step))) == 6
        results.append((values(distiller.student), history.history["total_loss"]))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.backend_independent
def test_a_teacher_whose_outputs_do_not_fit_is_refused(big):
    with pytest.raises(KerasCompressError, match=r"outputs must have the shapes.*\(None, 9\)"):
        Distiller(net(4, "nine", classes=9), student())
    with pytest.raises(KerasCompressError, match="inputs must have the shapes"):
        Distiller(net(4, "large", side=8), student())
    # With losses on layers alone, the outputs don't matter.
    Distiller(net(4, "nine", classes=9), student(), Hints("conv", "conv"))


@pytest.mark.backend_independent
def test_a_subclassed_teacher_is_to_be_told_what_it_gives_and_refused_if_it_does_not_fit():
    with pytest.raises(KerasCompressError, match="Pass `teacher_from_logits=True`"):
        compiled(Distiller(subclassed(), student()))
    told = SoftTargets(teacher_from_logits=True)
    distiller = compiled(Distiller(subclassed(), student(classes=5), told))
    with pytest.raises(ValueError, match="must have the shape of the student's"):
        fit(distiller)


@pytest.mark.backend_independent
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"student_loss_weight": 1.5}, "student_loss_weight=1.5"),
        ({"student_loss_weight": "much"}, "student_loss_weight='much'"),
        ({"distillation_losses": "kl"}, "Received: 'kl'"),
        ({"distillation_loss_weights": [1, 2]}, "2 weights and 1 losses"),
        ({"teacher_weights": [1, 2]}, "for 1 teachers"),
        ({"distillation_loss_weights": -1.0}, "Received: -1.0"),
        ({"distillation_loss_weights": [float("nan")]}, "Received: nan"),
        ({"teacher_weights": [0.0]}, "not all 0"),
        ({"teacher_weights": []}, "for 1 teachers"),
        ({"teacher_weights": [float("nan")]}, "not all 0"),
        ({"distillation_losses": Hints("nowhere", "conv")}, "'nowhere' for 'teacher_1'"),
        ({"distillation_losses": Hints("conv", "nowhere")}, "'nowhere' for 'student'"),
        ({"distillation_losses": Hints("conv", "conv", teacher=3)}, "teacher=3"),
    ],
)
def test_bad_arguments_are_refused(big, arguments, message):
    with pytest.raises(KerasCompressError, match=message):
        Distiller(big, student(), **arguments)


@pytest.mark.backend_independent
def test_unbuilt_and_shared_models_are_refused(big):
    unbuilt = keras.Sequential([keras.layers.Dense(4)])
    with pytest.raises(KerasCompressError, match="must be built"):
        Distiller(big, unbuilt)
    with pytest.raises(KerasCompressError, match="must be built"):
        Distiller(unbuilt, student())
    with pytest.raises(KerasCompressError, match="may not share weights"):
        Distiller(big, big)
