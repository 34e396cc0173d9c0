// The dialog that asks for name and room.

import { cleanName } from './names.js';

export class Setup {
  #dialog;
  #fields;
  #enter;
  #isEntered;

  /** `enter` takes the name and the room; `isEntered`: without that the dialog cannot be left. */
  constructor({ dialog, form, name, room, cancel, enter, isEntered }) {
    this.#dialog = dialog;
    this.#fields = { name, room, cancel };
    [this.#enter, this.#isEntered] = [enter, isEntered];
    cancel.addEventListener('click', () => dialog.close());
    // Browsers let Escape close a dialog the second time, whatever a page says: then it opens again.
    dialog.addEventListener('cancel', (event) => isEntered() || event.preventDefault());
    dialog.addEventListener('close', () => isEntered() || dialog.showModal());
    form.addEventListener('submit', (event) => this.#submit(event));
    name.addEventListener('input', () => name.setCustomValidity(''));
  }

  get isOpen() {
    return this.#dialog.open;
  }

  /** Asks; where it is open already, for another room. A name that has been typed stays. */
  open({ name, room }) {
    const { name: nameField, room: roomField, cancel } = this.#fields;
    if (!this.isOpen || !nameField.value) nameField.value = name;
    roomField.value = room;
    if (this.isOpen) return;
    cancel.hidden = !this.#isEntered();
    this.#dialog.showModal();
    (name ? roomField : nameField).select();
  }

  /** Gives the focus back to what had it before. */
  close() {
    this.#dialog.close();
  }

  #submit(event) {
    event.preventDefault();
    const { name, room } = this.#fields;
    const cleaned = cleanName(name.value);
    if (!cleaned) {
      name.setCustomValidity('A name has a character that can be seen.');
      name.reportValidity();
      return;
    }
    this.close(); // entering then moves the focus on
    this.#enter(cleaned, room.value);
  }
}
