"""Exploration: noise on actions, and rewards for novelty."""
