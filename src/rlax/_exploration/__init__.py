"""What makes an agent try things: noise on actions, and rewards for the new."""
