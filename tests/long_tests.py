"""Tests that are long and whose kind a shorter one, or another variant, tests too: `make test-all` runs them as well.

By file: the parts of names (with their parameters) that are long. `make test` has to end in minutes.
"""

from __future__ import annotations

LONG: dict[str, tuple[str, ...]] = {
    "test_agents_analysis_visualized": ("the_packed_policy_of_pong_has_its_actions",),
    "test_agents_compress": ("a_packed_policy_is_compressed_further_each_technique_alone",),
    "test_agents_compression_objective": ("a_robust_student_is_also_taught",),
    "test_agents_dqn_probes": (
        "each_mistake_gives_its_own_wrong_number[n_step-stores_dummy_step]",
        "each_mistake_gives_its_own_wrong_number[n_step-crosses_reset]",
        "each_mistake_gives_its_own_wrong_number[n_step-no_bootstrap",
        "each_mistake_gives_its_own_wrong_number[episode_tail-bootstraps",
        "each_mistake_gives_its_own_wrong_number[patience-",
        "each_mistake_gives_its_own_wrong_number[n_step-full_gamma",
        "each_mistake_gives_its_own_wrong_number[truncation-stores_dummy_step]",
        "dqn_finds_the_value_known_on_paper[patience",
        "dqn_finds_the_value_known_on_paper[termination",
        "dqn_finds_the_value_known_on_paper[episode_tail",
    ),
    "test_agents_experiments_slurm": ("jobs_work_a_study_off",),
    "test_agents_experiments_sweep_workers": ("ctrl_c_stops_all_and_the_same_command_goes_on",),
    "test_agents_explain": (
        "an_ensemble_of_a_run_folder_is_explained",
        "stages_of_training_and_compression_are_asked_about_the_same_frames",
    ),
    "test_agents_latency": ("every_engine_has_a_row_beside_the_agent_s",),
    "test_agents_policy_gradients_learning": ("cartpole_is_learned[reinforce]",),
    "test_agents_policy_gradients_probes": (
        "an_action_with_one_bound_comes_to_the_optimum_beyond_it[reinforce]",
        "continuous_actions_come_to_the_closed_form_optimum[reinforce",
        "the_critic_finds_the_value_known_on_paper[reinforce-patience",
        "the_critic_finds_the_value_known_on_paper[reinforce-n_step",
        "the_critic_finds_the_value_known_on_paper[reinforce-truncation",
        "the_critic_finds_the_value_known_on_paper[ppo-patience",
        "the_critic_finds_the_value_known_on_paper[ppo-episode_tail",
        "a_truncated_episode_must_bootstrap_for_the_right_action_to_look_best[reinforce",
        "the_critic_finds_the_value_known_on_paper[reinforce-termination",
        "a_memory_recalls_the_cue_and_without_one_nobody_can[ppo]",
        "continuous_actions_come_to_the_closed_form_optimum[ppo-clipped",
        "continuous_actions_come_to_the_closed_form_optimum[actor_critic-clipped",
        "reinforce_without_bootstrapping",
        "a_truncated_episode_must_bootstrap_for_the_right_action_to_look_best[ppo",
        "the_critic_finds_the_value_known_on_paper[ppo-n_step",
        "the_critic_finds_the_value_known_on_paper[ppo-truncation",
        "the_critic_finds_the_value_known_on_paper[actor_critic-patience",
        "the_critic_finds_the_value_known_on_paper[actor_critic-episode_tail",
        "each_mistake_gives_its_own_wrong_number[patience-",
        "actions_of_several_entries_are_all_set_right[reinforce-MultiBinary",
        "actions_of_several_entries_are_all_set_right[ppo-MultiBinary",
        "continuous_actions_come_to_the_closed_form_optimum[ppo-squashed",
    ),
    "test_agents_policy_gradients_resume": (
        "a_run_killed_without_warning_resumes_exactly[reinforce]",
        "a_run_killed_without_warning_resumes_exactly[actor_critic]",
        "an_interrupted_run_resumes_exactly[ppo-300]",
        "an_interrupted_run_resumes_exactly[pixels-",
        "a_run_killed_without_warning_resumes_exactly[ppo]",
        "an_interrupted_run_resumes_exactly[ppo-90",
        "an_interrupted_run_resumes_exactly[reinforce-300",
    ),
    "test_agents_reports": ("the_command_of_results_loads_nothing_heavy[--check]",),
    "test_agents_speed": ("every_run_of_a_round_leaves_its_speed",),
    "test_agents_training_environments": (
        "an_agent_learns_resumes_and_plays_with_a_model_as_its_observation[dqn-main-detector",
    ),
    "test_agents_training_pretrained": (
        "an_interrupted_run_resumes_exactly_without_the_file_it_began_from[reinforce]",
        "an_interrupted_run_resumes_exactly_without_the_file_it_began_from[actor_critic]",
    ),
    "test_agents_training_resume": (
        "a_run_killed_before_its_first_checkpoint_begins_anew_and_ends_the_same[dqn pixels]",
        "an_interrupted_game_resumes_exactly_and_shows_what_it_repeats[memory0]",
        "an_interrupted_game_resumes_exactly_and_shows_what_it_repeats[memory2]",
        "an_interrupted_cartpole_run_resumes_exactly[before-learning]",
        "a_run_interrupted_in_an_evaluation_resumes_exactly[second]",
    ),
    "test_agents_training_resume_limits": ("a_longer_run_that_is_stopped_goes_on_to_its_new_end",),
    "test_agents_training_rollout_backends": (
        "processes_play_the_transitions_of_actors_here[numbers]",
        "killed_actors_are_replaced_and_nothing_is_lost_or_counted_twice[continuous]",
        "an_agent_learns_the_same_weights_from_processes[config0",
        "processes_play_the_transitions_of_actors_here[frames]",
    ),
    "test_agents_training_rollout_gloo": (
        "a_killed_actor_is_named_and_after_a_restart",
        "actors_end_when_the_learner_is_killed",
    ),
    "test_agents_training_session_odd_environments": (
        "actions_of_any_kind_lie_in_their_space_or_are_refused_in_one_line[sb3 a2c]",
        "actions_of_any_kind_lie_in_their_space_or_are_refused_in_one_line[actor_critic]",
        "actions_of_any_kind_lie_in_their_space_or_are_refused_in_one_line[reinforce]",
        "an_environment_without_another_license_is_evaluated_after_training[sb3 a2c",
        "an_environment_without_another_license_is_evaluated_after_training[actor_critic",
        "actions_of_any_kind_lie_in_their_space_or_are_refused_in_one_line[sb3 ppo]",
        "actions_of_any_kind_lie_in_their_space_or_are_refused_in_one_line[sb3 dqn]",
        "an_environment_without_another_license_is_evaluated_after_training[sb3 ppo",
        "an_environment_without_another_license_is_evaluated_after_training[reinforce",
        "an_environment_of_one_copy_is_evaluated_after_training[sb3 ppo",
        "an_environment_of_one_copy_is_evaluated_after_training[sb3 dqn",
    ),
    "test_agents_visualize": ("dreams_and_inversions_are_drawn[invert]",),
    "test_docs_examples": (
        "expected_sarsa_finds_the_value_known_on_paper[truncation]",
        "expected_sarsa_finds_the_value_known_on_paper[patience]",
        "a_value_that_goes_on_after_termination_is_noticed",
    ),
    "test_envs_ground_truth_observed_state": ("slots_from_the_proven_objects_are_those_of_the_state[ALE/Breakout",),
    "test_envs_probes_pictures": ("ppo_reads_channels_first[words1",),
    "test_rl_gen_lab_cli_ranges": (
        "flags_out_of_range_are_refused_in_a_line_that_names_them[rl_gen_lab.train.detect.",
        "flags_out_of_range_are_refused_in_a_line_that_names_them[rl_gen_lab.train.caption.",
        "flags_out_of_range_are_refused_in_a_line_that_names_them[rl_gen_lab.train.generate.",
        "flags_out_of_range_are_refused_in_a_line_that_names_them[rl_gen_lab.train.dream.",
        "flags_out_of_range_are_refused_in_a_line_that_names_them[rl_gen_lab.train.classic.",
        "flags_out_of_range_are_refused_in_a_line_that_names_them[rl_gen_lab.train.localize.",
    ),
    "test_rl_gen_lab_distributed_group": ("a_process_that_hangs_is_named_in_time",),
    "test_rl_gen_lab_distributed_pipeline": ("two_processes_learn_what_one_learns[vae]",),
    "test_rl_gen_lab_distributed_tensor_parallel": (
        "two_processes_learn_what_one_learns[caption]",
        "two_processes_learn_what_one_learns[pixels]",
        "two_processes_learn_what_one_learns[vae]",
    ),
    "test_rl_gen_lab_explain_fooling": ("a_captioner_says_of_one_image",),
    "test_rl_gen_lab_generators_autoencoder": (
        "eight_images_are_learned_by_heart[transposed-",
        "eight_images_are_learned_by_heart[broadcast-",
    ),
    "test_rl_gen_lab_generators_vae_resume": ("a_generator_that_was_stopped_ends_as_one_that_never_was[vq-vae]",),
    "test_rl_gen_lab_generators_vq_vae": (
        "eight_images_are_learned_by_heart[vq-upsample",
        "eight_images_are_learned_by_heart[fsq-transposed",
    ),
    "test_rl_gen_lab_generators_world_models_pixel_task_resume": (
        "a_world_that_was_stopped_ends_as_one_that_never_was[pixels]",
    ),
    "test_rl_gen_lab_runs_checkpoints": (
        "killed_at_any_line_the_old_or_the_new_checkpoint_loads[a kill between",
        "killed_at_any_line_the_old_or_the_new_checkpoint_loads[nothing]",
    ),
    "test_rl_gen_lab_training_load_hostile": ("a_larger_sample_of_every_kind",),
    "test_rl_gen_lab_vision_detection_two_stage": (
        "eight_pictures_are_learned_by_heart[faster-rcnn",
        "eight_pictures_are_learned_by_heart[sliding-window",
        "eight_pictures_are_learned_by_heart[fast-rcnn",
    ),
    "test_rl_gen_lab_vision_segmentation_task": (
        "eight_pictures_are_learned_by_heart[patch]",
        "eight_pictures_are_learned_by_heart[fcn",
    ),
}


def is_long(nodeid: str) -> bool:
    """Whether a test, by its whole name ("tests/test_x.py::test_y[z]"), is one of them."""
    file, _, name = nodeid.partition("::")
    parts = LONG.get(file.rpartition("/")[2].removesuffix(".py"), ())
    return any(name.startswith(f"test_{part}") for part in parts)
