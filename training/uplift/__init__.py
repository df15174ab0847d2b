"""What actions change, measured on treatments with a control arm.

Everything rests on the doubly robust score of a row (Robins, Rotnitzky and Zhao 1994; Chernozhukov
et al. 2018), which is right on average where the chance of the arm is known, whatever the models of
the outcome are worth: its mean is the effect, its regression on the customer the uplift (Kennedy
2023), and its sum over those ranked first the Qini curve.
"""
